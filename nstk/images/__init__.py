"""Images as float32 arrays `(height, width, 3)`, sRGB, `[0, 1]`: read, write, resize, color, masks.

Nothing here needs TensorFlow.
"""

from nstk.images.color_spaces import from_oklab as from_oklab
from nstk.images.color_spaces import to_luma as to_luma
from nstk.images.color_spaces import to_oklab as to_oklab
from nstk.images.encoding import save_image as save_image
from nstk.images.hashes import group_duplicates as group_duplicates
from nstk.images.hashes import image_hash as image_hash
from nstk.images.image import Image as Image
from nstk.images.image import fit_size as fit_size
from nstk.images.image import resize_image as resize_image
from nstk.images.image import to_image as to_image
from nstk.images.image import to_levels as to_levels
from nstk.images.loading import LoadedImage as LoadedImage
from nstk.images.loading import load_image as load_image
from nstk.images.masks import load_mask as load_mask
from nstk.images.quality import ImageQuality as ImageQuality
from nstk.images.quality import measure_image as measure_image
