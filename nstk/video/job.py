"""Stylizing a clip: its frames, held together by their motion, and the film made of them."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from nstk.backbones.backbone import Backbone
from nstk.backbones.loading import load_backbone
from nstk.progress import Progress, Reporter, no_progress
from nstk.settings import CheckpointSettings, StylizeSettings, VideoSettings, resolve_settings
from nstk.storage.checkpoints import (
    CheckpointFolder,
    RunIdentity,
    State,
    reraise_as_checkpoint_error,
)
from nstk.storage.files import digest_file, make_temporary_folder
from nstk.stylization.inputs import StyleSource, list_styles
from nstk.stylization.regions import NO_MASKS, Masks
from nstk.stylization.resumption import identify_run
from nstk.stylization.task import StyleTransferTask, plan_task
from nstk.stylization.tiled.memory import peak_memory
from nstk.stylization.tiled.planning import COMPILE_SECONDS, Plan
from nstk.types import Json, SettingValue
from nstk.video.clips import list_files, look_at, read_frames
from nstk.video.extras import has_cv2, import_cv2
from nstk.video.frames import ClipRecipe, ClipRun, count_later_steps
from nstk.video.masks import clips_among, read_masks
from nstk.video.measuring import measure_stability
from nstk.video.result import ClipResult, FrameStore, Stability, to_size
from nstk.video.sound import Sound
from nstk.video.writing import CODECS, Timeline, check_clip_output, write_clip

BYTES_PER_PIXEL = 3
"""Disk space of a finished frame, at most: one that PNG cannot compress."""


def stylize_clip(
    content: str | Path,
    style: StyleSource | Sequence[StyleSource],
    output: str | Path,
    *,
    backbone: Backbone | str | Path = "compact",
    masks: Masks = NO_MASKS,
    checkpoints: CheckpointSettings | None = None,
    on_progress: Reporter = no_progress,
    **options: SettingValue,
) -> ClipResult:
    """Stylize the frames of a clip, each from the result of the one before, and write the film.

    Args:
        content: A video file, an animation, or a folder of numbered frames.
        style: As for `nstk.stylize`.
        output: The clip to write; see `nstk.video.writing.write_clip`.
        backbone: As for `nstk.stylize`.
        masks: As for `nstk.stylize`; content masks and the keep mask may be clips, too.
        checkpoints: Where and how often to save the state; a run resumes within a frame.
        on_progress: Called with a `Progress` at every step, counted in frames.
        **options: Fields of `StylizeSettings` and of `VideoSettings`, or these as ``settings``
            and ``video``.

    Returns:
        The figures of the run. After Ctrl-C the clip holds the frames that were finished.

    Raises:
        NstkError: If inputs, settings or checkpoints are invalid.
    """
    begun = time.perf_counter()
    settings, video = split_options(options)
    check_clip_output(output)
    with _open_folder(checkpoints) as (folder, store):
        recipe = _read_recipe(content, style, backbone, settings, video)
        scene = _read_first(recipe, masks)
        found = folder.find(_identify(recipe, scene, masks)) if folder.is_enabled else None
        scene = plan_task(scene, recipe.network, _read_plan(found))
        assert scene.plan is not None
        run = ClipRun(recipe, store, scene, scene.plan, on_progress)
        interrupted = _run(run, folder, masks, found)
        path = _write(Path(output), run) if run.finished else None
        stability = None if interrupted else _measure(run, on_progress)
    scale = scene.scales[-1]
    return ClipResult(
        output=path,
        width=scale.width,
        height=scale.height,
        planned=recipe.info.frames,
        frames=run.finished,
        strength=run.plan.strength or 0.0,
        stability=stability,
        seconds=time.perf_counter() - begun,
        peak_memory_bytes=peak_memory(),
        interrupted=interrupted,
        notices=_list_notices(Path(output), run, interrupted),
    )


@dataclass(frozen=True)
class ClipPlan:
    """What a clip will take: frames, time, memory, and disk space for the finished frames."""

    frames: int
    width: int
    height: int
    seconds: float
    seconds_per_frame: float
    disk_bytes: int
    first: Plan

    def to_dict(self) -> dict[str, Json]:
        return asdict(self)


def plan_clip(
    content: str | Path,
    style: StyleSource | Sequence[StyleSource],
    output: str | Path,
    *,
    backbone: Backbone | str | Path = "compact",
    masks: Masks = NO_MASKS,
    **options: SettingValue,
) -> ClipPlan:
    """Predict what `stylize_clip` takes for the same arguments, without running it.

    Raises:
        NstkError: If `stylize_clip` would raise before its first step.
    """
    settings, video = split_options(options)
    check_clip_output(output)
    recipe = _read_recipe(content, style, backbone, settings, video)
    task = plan_task(_read_first(recipe, masks), recipe.network)
    assert task.plan is not None
    first, last, frames = task.plan.seconds, task.scales[-1], recipe.info.frames
    pixels = last.height * last.width
    work = sum(scale.height * scale.width * scale.steps for scale in task.scales)
    share = pixels * count_later_steps(task) / work
    later = (first - COMPILE_SECONDS) * (1 if video.temporal == "off" else share)
    seconds, disk = first + later * (frames - 1), BYTES_PER_PIXEL * pixels * frames
    return ClipPlan(frames, last.width, last.height, seconds, later, disk, task.plan)


def split_options(options: dict[str, SettingValue]) -> tuple[StylizeSettings, VideoSettings]:
    """The settings of a still and those of a clip, from keyword options for both."""
    of_clips = [each.name for each in fields(VideoSettings)]
    video = {name: options.pop(name) for name in [*options] if name in of_clips}
    chosen = resolve_settings(VideoSettings, options.pop("video", None), video)
    return resolve_settings(StylizeSettings, options.pop("settings", None), options), chosen


def _read_recipe(
    content: str | Path,
    style: StyleSource | Sequence[StyleSource],
    backbone: Backbone | str | Path,
    settings: StylizeSettings,
    video: VideoSettings,
) -> ClipRecipe:
    if video.temporal == "flow":
        import_cv2()
    info = look_at(content, video)
    return ClipRecipe(info, list_styles(style), load_backbone(backbone), settings, video)


def _read_first(recipe: ClipRecipe, masks: Masks) -> StyleTransferTask:
    levels = next(read_frames(recipe.info.path, recipe.video)).levels
    return recipe.read_scene(levels, next(read_masks(masks, recipe.video)))


def _identify(recipe: ClipRecipe, scene: StyleTransferTask, masks: Masks) -> RunIdentity:
    """Everything the clip depends on: what its first frame does, all files, and the settings."""
    first = identify_run(scene)
    digests = {
        f"{role} {file.name}": digest_file(file)
        for role, path in {"clip": recipe.info.path, **clips_among(masks)}.items()
        for file in list_files(path)
    }
    settings = {**first.settings, **asdict(recipe.video)}
    return RunIdentity(first.job, settings, {**first.inputs, **digests})


def _read_plan(found: State | None) -> Plan | None:
    if found is None:
        return None
    with reraise_as_checkpoint_error():
        return Plan.from_dict(found.facts["plan"])


@contextmanager
def _open_folder(
    checkpoints: CheckpointSettings | None,
) -> Iterator[tuple[CheckpointFolder, FrameStore]]:
    """The checkpoint folder and the place of finished frames, in it or temporary."""
    settings = checkpoints or CheckpointSettings()
    with CheckpointFolder(settings) as folder:
        if settings.checkpoint is not None:
            yield folder, FrameStore(Path(settings.checkpoint))
            return
        temporary = make_temporary_folder()
        try:
            yield folder, FrameStore(temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _run(run: ClipRun, folder: CheckpointFolder, masks: Masks, found: State | None) -> bool:
    """Make all frames; return whether Ctrl-C came before the last."""
    recipe = run.recipe
    frames = read_frames(recipe.info.path, recipe.video)
    try:
        with folder.run(run, found) as run.on_step:
            for frame, shown in zip(frames, read_masks(masks, recipe.video), strict=False):
                run.advance(frame.levels, shown)
    except KeyboardInterrupt:
        return True
    return False


def _write(output: Path, run: ClipRun) -> Path:
    """Write the finished frames as a clip, with their times and their part of the sound."""
    info = run.recipe.info
    start, count = info.times[0], len(run.finished)
    timeline = Timeline([time - start for time in info.times], info.end - start).cut(count)
    has_sound = info.has_sound and output.suffix.lower() in CODECS
    sound = Sound(info.path, start) if has_sound else None
    return write_clip(output, run.store.read(count), timeline, sound)


def _measure(run: ClipRun, on_progress: Reporter) -> Stability | None:
    """The warping errors of results and contents; None without OpenCV or a second frame."""
    count = len(run.finished)
    if count < 2 or not has_cv2():
        return None
    recipe, scale = run.recipe, run.scene.scales[-1]
    on_progress(Progress(stage="measuring", step=0, total=1))
    contents = (
        to_size(frame.levels, scale.height, scale.width)
        for frame in read_frames(recipe.info.path, recipe.video)
    )
    stability = measure_stability(run.store.read(count), contents)
    on_progress(Progress(stage="measuring", step=1, total=1))
    return stability


def _list_notices(output: Path, run: ClipRun, interrupted: bool) -> list[str]:
    info, made, notices = run.recipe.info, len(run.finished), []
    if info.has_sound and output.suffix.lower() not in CODECS:
        notices.append(f"{output} has no sound, which only {', '.join(CODECS)} hold.")
    if made < info.frames and not interrupted:
        notices.append(f"{info.path} is damaged after {made} of {info.frames} frames.")
    return notices
