"""nstk: one frozen pretrained network, two jobs.

`stylize` moves the pixels of an image until the network sees one image's content and
another's style in it. `finetune` fits a head on what the network sees in a folder of labeled
images. Both take plain paths and settings, report `Progress` to one callable, and raise
nothing but `NstkError`s on purpose.

    import nstk

    made = nstk.stylize("town.jpg", "waves.jpg", settings=nstk.StylizeSettings(size=384))
    made.save("town-in-waves.png")

    trained = nstk.finetune("insects/")
    trained.classifier.save("insects.keras")

Names are imported when they are first used, so ``import nstk`` itself costs nothing and loads
no TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nstk.auditing.findings import Audit as Audit
    from nstk.auditing.findings import ClassBalance as ClassBalance
    from nstk.auditing.findings import ImageIssue as ImageIssue
    from nstk.auditing.findings import LabelSuspect as LabelSuspect
    from nstk.auditing.findings import WrongExtension as WrongExtension
    from nstk.auditing.job import audit as audit
    from nstk.backbones.backbone import Backbone as Backbone
    from nstk.backbones.listing import backbone_names as backbone_names
    from nstk.backbones.listing import describe_backbones as describe_backbones
    from nstk.backbones.loading import load_backbone as load_backbone
    from nstk.classifiers.classifier import Classifier as Classifier
    from nstk.classifiers.evaluation.job import evaluate as evaluate
    from nstk.classifiers.evaluation.metrics import ConfusedPair as ConfusedPair
    from nstk.classifiers.evaluation.metrics import Coverage as Coverage
    from nstk.classifiers.evaluation.metrics import ImageLoss as ImageLoss
    from nstk.classifiers.evaluation.report import EvaluationReport as EvaluationReport
    from nstk.classifiers.explanation.job import Explanation as Explanation
    from nstk.classifiers.explanation.job import explain as explain
    from nstk.classifiers.prediction.job import predict as predict
    from nstk.classifiers.prediction.job import stream_predictions as stream_predictions
    from nstk.classifiers.prediction.prediction import Prediction as Prediction
    from nstk.classifiers.prediction.prediction import Predictions as Predictions
    from nstk.classifiers.prediction.prediction import PredictSettings as PredictSettings
    from nstk.classifiers.prediction.results import ResultsFile as ResultsFile
    from nstk.classifiers.prediction.results import check_results as check_results
    from nstk.classifiers.prediction.resumption import PredictionCheckpoint as PredictionCheckpoint
    from nstk.classifiers.prediction.watching import watch_folder as watch_folder
    from nstk.datasets.catalogs import LabeledImage as LabeledImage
    from nstk.datasets.folders import LabeledFolder as LabeledFolder
    from nstk.datasets.folders import scan_folder as scan_folder
    from nstk.datasets.listing import SkippedFile as SkippedFile
    from nstk.errors import BackboneError as BackboneError
    from nstk.errors import CheckpointError as CheckpointError
    from nstk.errors import DivergenceError as DivergenceError
    from nstk.errors import DownloadError as DownloadError
    from nstk.errors import ExportError as ExportError
    from nstk.errors import FolderError as FolderError
    from nstk.errors import ImageError as ImageError
    from nstk.errors import MaskError as MaskError
    from nstk.errors import ModelError as ModelError
    from nstk.errors import NstkError as NstkError
    from nstk.errors import OutputError as OutputError
    from nstk.errors import SettingsError as SettingsError
    from nstk.errors import StyleFileError as StyleFileError
    from nstk.errors import WeightsError as WeightsError
    from nstk.errors import printable as printable
    from nstk.exporting.job import Export as Export
    from nstk.exporting.job import export as export
    from nstk.features.cache import find_cache_folder as find_cache_folder
    from nstk.finetuning.job import finetune as finetune
    from nstk.finetuning.replay import Replay as Replay
    from nstk.finetuning.replay import replay as replay
    from nstk.finetuning.replay import save_manifest as save_manifest
    from nstk.finetuning.result import FinetuneResult as FinetuneResult
    from nstk.finetuning.tensorboard import ScalarLog as ScalarLog
    from nstk.finetuning.unfreezing.result import SecondStage as SecondStage
    from nstk.heads.calibration import Calibration as Calibration
    from nstk.heads.learning_curve import LearningCurve as LearningCurve
    from nstk.heads.metrics import ClassScore as ClassScore
    from nstk.heads.metrics import Evaluation as Evaluation
    from nstk.heads.out_of_distribution import OODDetector as OODDetector
    from nstk.heads.predictions import SplitPredictions as SplitPredictions
    from nstk.heads.reliability import Reliability as Reliability
    from nstk.heads.reliability import ReliabilityBin as ReliabilityBin
    from nstk.heads.selection import Selection as Selection
    from nstk.heads.selection import Trial as Trial
    from nstk.images.animations import check_animation as check_animation
    from nstk.images.encoding import check_output as check_output
    from nstk.images.encoding import save_image as save_image
    from nstk.images.image import Image as Image
    from nstk.images.loading import LoadedImage as LoadedImage
    from nstk.images.loading import load_image as load_image
    from nstk.images.quality import ImageQuality as ImageQuality
    from nstk.inspecting.frozen import study_frozen as study_frozen
    from nstk.inspecting.frozen_study import FrozenStudy as FrozenStudy
    from nstk.inspecting.gram import ChannelPair as ChannelPair
    from nstk.inspecting.gram import GramInspection as GramInspection
    from nstk.inspecting.gram import LayerGram as LayerGram
    from nstk.inspecting.gram import inspect_gram as inspect_gram
    from nstk.inspecting.job import ChannelInspection as ChannelInspection
    from nstk.inspecting.job import LayerInspection as LayerInspection
    from nstk.inspecting.job import NetworkInspection as NetworkInspection
    from nstk.inspecting.job import inspect_layers as inspect_layers
    from nstk.inspecting.reconstruction import ContentInspection as ContentInspection
    from nstk.inspecting.reconstruction import Reconstruction as Reconstruction
    from nstk.inspecting.reconstruction import inspect_content as inspect_content
    from nstk.inspecting.textures import StyleInspection as StyleInspection
    from nstk.inspecting.textures import Texture as Texture
    from nstk.inspecting.textures import inspect_style as inspect_style
    from nstk.progress import Progress as Progress
    from nstk.progress import no_progress as no_progress
    from nstk.reports.audit import check_audit_report as check_audit_report
    from nstk.reports.audit import write_audit_report as write_audit_report
    from nstk.reports.classifier import check_classifier_report as check_classifier_report
    from nstk.reports.classifier import write_classifier_report as write_classifier_report
    from nstk.reports.inspection_sheets import draw_content_sheet as draw_content_sheet
    from nstk.reports.inspection_sheets import draw_gram_sheet as draw_gram_sheet
    from nstk.reports.inspection_sheets import draw_style_sheet as draw_style_sheet
    from nstk.reports.layer_sheets import draw_layer_sheet as draw_layer_sheet
    from nstk.reports.layer_sheets import draw_overview as draw_overview
    from nstk.reports.sheets import check_figure as check_figure
    from nstk.reports.stylization import check_report as check_report
    from nstk.reports.stylization import write_report as write_report
    from nstk.reports.sweep import save_sweep as save_sweep
    from nstk.reports.transfer import save_frozen as save_frozen
    from nstk.settings import AuditSettings as AuditSettings
    from nstk.settings import CheckpointSettings as CheckpointSettings
    from nstk.settings import FinetuneSettings as FinetuneSettings
    from nstk.settings import FrozenSettings as FrozenSettings
    from nstk.settings import InspectSettings as InspectSettings
    from nstk.settings import StylizeSettings as StylizeSettings
    from nstk.settings import list_words as list_words
    from nstk.settings import read_setting as read_setting
    from nstk.storage.files import atomic_write as atomic_write
    from nstk.storage.files import check_writable as check_writable
    from nstk.storage.files import make_folder as make_folder
    from nstk.stylization.job import StylizeResult as StylizeResult
    from nstk.stylization.job import stylize as stylize
    from nstk.stylization.masks import Masks as Masks
    from nstk.stylization.preparing import plan_stylization as plan_stylization
    from nstk.stylization.quality import Quality as Quality
    from nstk.stylization.quality import measure_quality as measure_quality
    from nstk.stylization.recording import Frames as Frames
    from nstk.stylization.recording import Previews as Previews
    from nstk.stylization.recording import Trace as Trace
    from nstk.stylization.recording import broadcast as broadcast
    from nstk.stylization.saving import save_style as save_style
    from nstk.stylization.style_files import SavedStyle as SavedStyle
    from nstk.stylization.style_files import load_style as load_style
    from nstk.stylization.tiled.planning import Plan as Plan
    from nstk.sweeping.grid import SweepAxis as SweepAxis
    from nstk.sweeping.grid import read_axis as read_axis
    from nstk.sweeping.job import Sweep as Sweep
    from nstk.sweeping.job import sweep as sweep
    from nstk.sweeping.records import SweptRun as SweptRun

__version__ = "0.1.0"

_HOMES = {
    "nstk.auditing.findings": (
        "Audit",
        "ClassBalance",
        "ImageIssue",
        "LabelSuspect",
        "WrongExtension",
    ),
    "nstk.auditing.job": ("audit",),
    "nstk.reports.audit": ("check_audit_report", "write_audit_report"),
    "nstk.backbones.backbone": ("Backbone",),
    "nstk.backbones.listing": ("backbone_names", "describe_backbones"),
    "nstk.backbones.loading": ("load_backbone",),
    "nstk.errors": (
        "BackboneError",
        "CheckpointError",
        "DivergenceError",
        "DownloadError",
        "ExportError",
        "FolderError",
        "MaskError",
        "ModelError",
        "NstkError",
        "OutputError",
        "ImageError",
        "SettingsError",
        "StyleFileError",
        "WeightsError",
        "printable",
    ),
    "nstk.classifiers.evaluation.metrics": ("ConfusedPair", "Coverage", "ImageLoss"),
    "nstk.classifiers.evaluation.job": ("evaluate",),
    "nstk.classifiers.evaluation.report": ("EvaluationReport",),
    "nstk.classifiers.explanation.job": ("Explanation", "explain"),
    "nstk.exporting.job": ("Export", "export"),
    "nstk.heads.predictions": ("SplitPredictions",),
    "nstk.features.cache": ("find_cache_folder",),
    "nstk.heads.calibration": ("Calibration",),
    "nstk.classifiers.classifier": ("Classifier",),
    "nstk.heads.metrics": ("ClassScore", "Evaluation"),
    "nstk.heads.out_of_distribution": ("OODDetector",),
    "nstk.finetuning.job": ("finetune",),
    "nstk.heads.learning_curve": ("LearningCurve",),
    "nstk.finetuning.replay": ("Replay", "replay", "save_manifest"),
    "nstk.finetuning.result": ("FinetuneResult",),
    "nstk.heads.reliability": ("Reliability", "ReliabilityBin"),
    "nstk.finetuning.tensorboard": ("ScalarLog",),
    "nstk.finetuning.unfreezing.result": ("SecondStage",),
    "nstk.heads.selection": ("Selection", "Trial"),
    "nstk.inspecting.frozen": ("study_frozen",),
    "nstk.reports.transfer": ("save_frozen",),
    "nstk.inspecting.frozen_study": ("FrozenStudy",),
    "nstk.inspecting.gram": ("ChannelPair", "GramInspection", "LayerGram", "inspect_gram"),
    "nstk.inspecting.job": (
        "ChannelInspection",
        "LayerInspection",
        "NetworkInspection",
        "inspect_layers",
    ),
    "nstk.reports.layer_sheets": ("draw_layer_sheet", "draw_overview"),
    "nstk.inspecting.reconstruction": ("ContentInspection", "Reconstruction", "inspect_content"),
    "nstk.reports.inspection_sheets": ("draw_content_sheet", "draw_gram_sheet", "draw_style_sheet"),
    "nstk.inspecting.textures": ("StyleInspection", "Texture", "inspect_style"),
    "nstk.datasets.catalogs": ("LabeledImage",),
    "nstk.images.animations": ("check_animation",),
    "nstk.storage.files": ("check_writable", "make_folder", "atomic_write"),
    "nstk.datasets.folders": ("LabeledFolder", "scan_folder"),
    "nstk.datasets.listing": ("SkippedFile",),
    "nstk.images.image": ("Image",),
    "nstk.images.loading": ("LoadedImage", "load_image"),
    "nstk.images.encoding": ("check_output", "save_image"),
    "nstk.images.quality": ("ImageQuality",),
    "nstk.classifiers.prediction.job": (
        "predict",
        "stream_predictions",
    ),
    "nstk.classifiers.prediction.prediction": ("PredictSettings", "Prediction", "Predictions"),
    "nstk.classifiers.prediction.results": ("ResultsFile", "check_results"),
    "nstk.classifiers.prediction.resumption": ("PredictionCheckpoint",),
    "nstk.classifiers.prediction.watching": ("watch_folder",),
    "nstk.progress": ("Progress", "no_progress"),
    "nstk.reports.classifier": ("check_classifier_report", "write_classifier_report"),
    "nstk.settings": (
        "AuditSettings",
        "CheckpointSettings",
        "FinetuneSettings",
        "FrozenSettings",
        "InspectSettings",
        "StylizeSettings",
        "list_words",
        "read_setting",
    ),
    "nstk.reports.sheets": ("check_figure",),
    "nstk.stylization.job": ("StylizeResult", "stylize"),
    "nstk.stylization.tiled.planning": ("Plan",),
    "nstk.stylization.masks": ("Masks",),
    "nstk.stylization.preparing": ("plan_stylization",),
    "nstk.stylization.quality": ("Quality", "measure_quality"),
    "nstk.stylization.recording": ("Frames", "Previews", "Trace", "broadcast"),
    "nstk.reports.stylization": ("check_report", "write_report"),
    "nstk.stylization.saving": ("save_style",),
    "nstk.stylization.style_files": ("SavedStyle", "load_style"),
    "nstk.reports.sweep": ("save_sweep",),
    "nstk.sweeping.grid": ("SweepAxis", "read_axis"),
    "nstk.sweeping.job": ("Sweep", "sweep"),
    "nstk.sweeping.records": ("SweptRun",),
}

_OTHER_ENGINES = ("jax", "torch", "openvino")
"""What Keras imports where its settings ask for another engine than TensorFlow."""

_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nstk' has no attribute {name!r}")
    try:
        value = getattr(import_module(_HOME[name]), name)
    except ModuleNotFoundError as error:
        if error.name not in _OTHER_ENGINES:
            raise
        from nstk.errors import BackboneError

        raise BackboneError(
            f"Keras is to compute with {error.name} here, which is not installed, and nstk with "
            "TensorFlow only; start Python with KERAS_BACKEND=tensorflow."
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
