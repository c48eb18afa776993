"""All settings: every default, range and help text, defined once.

The command line takes its options, defaults and help texts from these classes; a test compares
the two.
"""

from nstk.settings.fields import check_pattern as check_pattern
from nstk.settings.fields import check_range as check_range
from nstk.settings.fields import check_whole as check_whole
from nstk.settings.fields import check_word as check_word
from nstk.settings.fields import list_words as list_words
from nstk.settings.fields import read_setting as read_setting
from nstk.settings.fields import resolve_settings as resolve_settings
from nstk.settings.fields import setting as setting
from nstk.settings.filming import TemporalMode as TemporalMode
from nstk.settings.filming import VideoSettings as VideoSettings
from nstk.settings.finetuning import AuditSettings as AuditSettings
from nstk.settings.finetuning import ExportSettings as ExportSettings
from nstk.settings.finetuning import FinetuneSettings as FinetuneSettings
from nstk.settings.inspecting import FrozenSettings as FrozenSettings
from nstk.settings.inspecting import InspectSettings as InspectSettings
from nstk.settings.inspecting import NewtonSettings as NewtonSettings
from nstk.settings.labeling import LabelSettings as LabelSettings
from nstk.settings.labeling import PageSettings as PageSettings
from nstk.settings.lessons import LessonName as LessonName
from nstk.settings.lessons import LessonSettings as LessonSettings
from nstk.settings.parsing import AugmentationName as AugmentationName
from nstk.settings.parsing import ColorMatching as ColorMatching
from nstk.settings.parsing import ColorMode as ColorMode
from nstk.settings.parsing import DecodeMode as DecodeMode
from nstk.settings.parsing import ExecutorName as ExecutorName
from nstk.settings.parsing import FeatureChoice as FeatureChoice
from nstk.settings.parsing import LayerWeights as LayerWeights
from nstk.settings.parsing import OptimizerName as OptimizerName
from nstk.settings.parsing import Pooling as Pooling
from nstk.settings.parsing import PrecisionName as PrecisionName
from nstk.settings.parsing import QualityName as QualityName
from nstk.settings.parsing import StyleLoss as StyleLoss
from nstk.settings.parsing import TilingName as TilingName
from nstk.settings.parsing import parse_blend as parse_blend
from nstk.settings.parsing import parse_interval as parse_interval
from nstk.settings.parsing import parse_layers as parse_layers
from nstk.settings.parsing import parse_memory as parse_memory
from nstk.settings.parsing import parse_names as parse_names
from nstk.settings.parsing import parse_strength as parse_strength
from nstk.settings.parsing import parse_time as parse_time
from nstk.settings.stylizing import DEFAULT_SIMILARITY as DEFAULT_SIMILARITY
from nstk.settings.stylizing import CheckpointSettings as CheckpointSettings
from nstk.settings.stylizing import StylizeSettings as StylizeSettings
