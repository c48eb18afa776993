"""nstk: a frozen pretrained network serves two jobs.

`stylize` changes the pixels of an image until the network finds one image's content and
another image's style in it. `finetune` fits a head on the network's features of a folder of
labeled images. Both take paths or arrays and keyword settings, report `Progress` to one callable,
and raise only `NstkError`s on purpose.

    import nstk

    result = nstk.stylize("town.jpg", "waves.jpg", size=384)
    result.save("town-in-waves.png")

    result = nstk.finetune("insects/")
    result.classifier.save("insects.keras")

Loops of your own are built from four namespaces: `nstk.optimizers`, `nstk.losses`, `nstk.heads`
and `nstk.images`. Every exception is in `nstk.errors`.

Names are imported when they are first used, so ``import nstk`` takes no time and does not load
TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nstk import errors as errors
    from nstk import heads as heads
    from nstk import images as images
    from nstk import losses as losses
    from nstk import optimizers as optimizers
    from nstk.auditing.job import audit as audit
    from nstk.backbones.backbone import Backbone as Backbone
    from nstk.backbones.loading import load_backbone as load_backbone
    from nstk.classifiers.classifier import Classifier as Classifier
    from nstk.classifiers.evaluation.job import evaluate as evaluate
    from nstk.classifiers.explanation import explain as explain
    from nstk.classifiers.labeller import Labeller as Labeller
    from nstk.classifiers.prediction.job import predict as predict
    from nstk.classifiers.prediction.job import stream_predictions as stream_predictions
    from nstk.classifiers.prediction.prediction import Prediction as Prediction
    from nstk.classifiers.prediction.reading import watch_folder as watch_folder
    from nstk.classifiers.prediction.results import ResultsFile as ResultsFile
    from nstk.datasets.folders import scan_folder as scan_folder
    from nstk.errors import NstkError as NstkError
    from nstk.exporting.job import export as export
    from nstk.finetuning.job import finetune as finetune
    from nstk.finetuning.result import FinetuneResult as FinetuneResult
    from nstk.images.encoding import save_image as save_image
    from nstk.images.image import Image as Image
    from nstk.images.loading import load_image as load_image
    from nstk.inspecting.frozen import study_frozen as study_frozen
    from nstk.inspecting.gram import inspect_gram as inspect_gram
    from nstk.inspecting.job import inspect_layers as inspect_layers
    from nstk.inspecting.reconstruction import inspect_content as inspect_content
    from nstk.inspecting.reconstruction import inspect_style as inspect_style
    from nstk.progress import Progress as Progress
    from nstk.reports.audit import write_audit_report as write_audit_report
    from nstk.reports.classifier import write_classifier_report as write_classifier_report
    from nstk.reports.stylization import write_report as write_report
    from nstk.reports.sweep import save_sweep as save_sweep
    from nstk.reports.transfer import save_frozen as save_frozen
    from nstk.settings import CheckpointSettings as CheckpointSettings
    from nstk.settings import FinetuneSettings as FinetuneSettings
    from nstk.settings import StylizeSettings as StylizeSettings
    from nstk.stylization.job import plan_stylization as plan_stylization
    from nstk.stylization.job import stylize as stylize
    from nstk.stylization.regions import Masks as Masks
    from nstk.stylization.result import StylizeResult as StylizeResult
    from nstk.stylization.saving import save_style as save_style
    from nstk.sweeping.grid import SweepAxis as SweepAxis
    from nstk.sweeping.job import sweep as sweep

__version__ = "0.1.0"

_MODULES = {
    "nstk.auditing.job": ("audit",),
    "nstk.backbones.backbone": ("Backbone",),
    "nstk.backbones.loading": ("load_backbone",),
    "nstk.classifiers.classifier": ("Classifier",),
    "nstk.classifiers.evaluation.job": ("evaluate",),
    "nstk.classifiers.explanation": ("explain",),
    "nstk.classifiers.labeller": ("Labeller",),
    "nstk.classifiers.prediction.job": ("predict", "stream_predictions"),
    "nstk.classifiers.prediction.prediction": ("Prediction",),
    "nstk.classifiers.prediction.results": ("ResultsFile",),
    "nstk.classifiers.prediction.reading": ("watch_folder",),
    "nstk.datasets.folders": ("scan_folder",),
    "nstk.errors": ("NstkError",),
    "nstk.exporting.job": ("export",),
    "nstk.finetuning.job": ("finetune",),
    "nstk.finetuning.result": ("FinetuneResult",),
    "nstk.images.encoding": ("save_image",),
    "nstk.images.image": ("Image",),
    "nstk.images.loading": ("load_image",),
    "nstk.inspecting.frozen": ("study_frozen",),
    "nstk.inspecting.gram": ("inspect_gram",),
    "nstk.inspecting.job": ("inspect_layers",),
    "nstk.inspecting.reconstruction": ("inspect_content", "inspect_style"),
    "nstk.progress": ("Progress",),
    "nstk.reports.audit": ("write_audit_report",),
    "nstk.reports.classifier": ("write_classifier_report",),
    "nstk.reports.stylization": ("write_report",),
    "nstk.reports.sweep": ("save_sweep",),
    "nstk.reports.transfer": ("save_frozen",),
    "nstk.settings": ("CheckpointSettings", "FinetuneSettings", "StylizeSettings"),
    "nstk.stylization.job": ("plan_stylization", "stylize"),
    "nstk.stylization.regions": ("Masks",),
    "nstk.stylization.result": ("StylizeResult",),
    "nstk.stylization.saving": ("save_style",),
    "nstk.sweeping.grid": ("SweepAxis",),
    "nstk.sweeping.job": ("sweep",),
}
"""The public names by the module that defines them."""

NAMESPACES = ("errors", "heads", "images", "losses", "optimizers")
"""The public modules."""

_OTHER_BACKENDS = ("jax", "torch", "openvino")
"""What Keras imports if its settings name another backend than TensorFlow."""

_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted([*_HOME, *NAMESPACES])


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nstk' has no attribute {name!r}")
    try:
        module = import_module(_HOME.get(name, f"nstk.{name}"))
    except ModuleNotFoundError as error:
        if error.name not in _OTHER_BACKENDS:
            raise
        from nstk.errors import BackboneError

        raise BackboneError(
            f"Keras is set to the backend {error.name}, which is not installed; nstk needs "
            "TensorFlow: start Python with KERAS_BACKEND=tensorflow."
        ) from error
    value = globals()[name] = module if name in NAMESPACES else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
