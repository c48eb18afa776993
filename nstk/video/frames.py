"""The frames of a clip, one style transfer task after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import tensorflow as tf

from nstk.backbones.backbone import Backbone
from nstk.errors import ImageError
from nstk.images.image import Levels
from nstk.images.loading import LoadedImage
from nstk.progress import Progress, Reporter
from nstk.settings import StylizeSettings, VideoSettings
from nstk.storage.checkpoints import Resumable, State, reraise_as_checkpoint_error
from nstk.stylization.inputs import StyleSource, with_content
from nstk.stylization.job import run_task
from nstk.stylization.losses import TemporalTarget
from nstk.stylization.regions import Masks
from nstk.stylization.result import StylizeResult
from nstk.stylization.resumption import ResumableRun
from nstk.stylization.task import StyleTransferTask, read_task, with_precision
from nstk.stylization.tiled.planning import Plan
from nstk.video.clips import ClipInfo
from nstk.video.motion import (
    Warped,
    combine,
    follow_difference,
    follow_flow,
    share_changed,
    to_unit,
)
from nstk.video.result import FrameFigures, FrameStore, to_size

CUT_SHARE = 0.6
"""Share of unreliable pixels above which a frame begins a new scene."""

LATER_STEPS = 0.5
"""Steps of a frame that starts from the one before it, relative to those of the full scale."""

STAGE = "frames"


@dataclass(frozen=True)
class ClipRecipe:
    """What all frames of a clip have in common."""

    info: ClipInfo
    styles: Sequence[StyleSource]
    network: Backbone
    settings: StylizeSettings
    video: VideoSettings

    def read_scene(self, levels: Levels, masks: Masks) -> StyleTransferTask:
        """The task of a frame that stands alone, as that of a still; it has no plan yet."""
        return read_task(self._load(levels), self.styles, masks, self.network, self.settings)

    def next_task(
        self, scene: StyleTransferTask, levels: Levels, masks: Masks, target: Warped | None
    ) -> StyleTransferTask:
        """The task of a later frame of a scene; without a target, it begins as a still does."""
        inputs = with_content(scene.inputs, self._load(levels), masks, self.settings.color)
        if target is None:
            return replace(scene, inputs=inputs)
        temporal = TemporalTarget(
            tf.constant(target.image),
            tf.constant(target.reliability[..., np.newaxis]),
            tf.constant(self.video.temporal_weight, tf.float32),
        )
        settings = replace(self.settings, steps=count_later_steps(scene))
        return replace(scene, inputs=inputs, settings=settings, temporal=temporal)

    def _load(self, levels: Levels) -> LoadedImage:
        if levels.shape[:2] != (self.info.height, self.info.width):
            height, width = levels.shape[:2]
            raise ImageError(
                f"{self.info.path} has frames of {self.info.width}×{self.info.height} and of "
                f"{width}×{height} pixels; give frames of one size."
            )
        return LoadedImage(to_unit(levels), None, (), self.info.path)


def count_later_steps(scene: StyleTransferTask) -> int:
    """Steps of a frame that starts from the one before it."""
    return max(round(LATER_STEPS * scene.scales[-1].steps), 1)


@dataclass(eq=False)
class ClipRun:
    """The run of a clip, frame by frame, which can be resumed within a frame.

    Finished frames are in the store, so its state is that of the current frame and some figures.
    """

    recipe: ClipRecipe
    store: FrameStore
    scene: StyleTransferTask
    plan: Plan
    on_progress: Reporter
    on_step: Callable[[], None] = lambda: None
    finished: list[FrameFigures] = field(default_factory=list)
    _number: int = 0
    _scene_start: int = 0
    _history: dict[int, Levels] = field(default_factory=dict)
    _current: ResumableRun | None = None
    _found: State | None = None

    @property
    def completed(self) -> int:
        """Steps taken, over all frames."""
        current = 0 if self._current is None else self._current.completed
        return sum(each.steps for each in self.finished) + current

    def capture(self) -> State:
        current = None if self._current is None else self._current.capture()
        plan = self.plan if self._current is None else self._current.plan
        facts = {
            "plan": plan.to_dict(),
            "finished": [asdict(each) for each in self.finished],
            "frame": None if current is None else current.facts,
        }
        return State(facts, {} if current is None else current.arrays)

    def restore(self, state: State) -> None:
        self.finished = [FrameFigures(**each) for each in state.facts["finished"]]
        frame = state.facts["frame"]
        self._found = None if frame is None else State(frame, state.arrays)

    def advance(self, levels: Levels, masks: Masks) -> None:
        """Make the next frame, or pass over it if it is finished."""
        number, scale = self._number, self.scene.scales[-1]
        small = to_size(levels, scale.height, scale.width)
        is_finished = number < len(self.finished)
        if is_finished:
            target, is_cut = None, self.finished[number].is_cut
        else:
            target, is_cut = self._look_back(small)
        if is_cut and number:
            scene, self._scene_start = self.recipe.read_scene(levels, masks), number
            self.scene = with_precision(scene, self.recipe.network, self.plan.precision)
        if not is_finished:
            task = self.recipe.next_task(self.scene, levels, masks, target)
            self._make(task, target, is_cut)
        self._history[number] = small
        self._history.pop(number - max(self.recipe.video.memory), None)
        self._number += 1

    def _look_back(self, small: Levels) -> tuple[Warped | None, bool]:
        """What the frames before ask of this one, and whether a scene begins with it."""
        mode, number = self.recipe.video.temporal, self._number
        if number == 0 or mode == "off":
            return None, number == 0
        follow = follow_flow if mode == "flow" else follow_difference
        before = [number - back for back in self.recipe.video.memory]
        known = [
            (self._history[each], to_unit(self.store.load(each)))
            for each in before
            if each >= self._scene_start
        ]
        if not known:
            return None, False
        warped = [follow(small, *each) for each in known]
        if mode == "flow":
            lost = float((warped[0].reliability < 0.5).mean())
        else:
            lost = share_changed(small, known[0][0])
        return (None, True) if lost > CUT_SHARE else (combine(warped), False)

    def _make(self, task: StyleTransferTask, target: Warped | None, is_cut: bool) -> None:
        task = replace(task, plan=self.plan)
        result = run_task(task, self._report, checkpointed=self._checkpointed)
        if result.interrupted:
            raise KeyboardInterrupt
        self.store.save(self._number, result.image)
        reliable = 0.0 if target is None else float(target.reliability.mean())
        figures = self._describe(result, reliable, is_cut)
        self.plan = replace(self.plan, strength=result.strength)
        self._current, self.finished = None, [*self.finished, figures]
        self.on_progress(self._as_frames(Progress(stage=STAGE, step=0, total=0)))

    def _describe(self, result: StylizeResult, reliable: float, is_cut: bool) -> FrameFigures:
        times = self.recipe.info.times
        return FrameFigures(
            time=float(times[self._number] - times[0]),
            steps=result.steps,
            seconds=result.seconds,
            loss=result.loss,
            reliable=reliable,
            is_cut=is_cut,
        )

    @contextmanager
    def _checkpointed(self, run: Resumable) -> Iterator[Callable[[], None]]:
        """Restore the frame that was interrupted, and save the clip whenever a frame would be."""
        if self._found is not None:
            with reraise_as_checkpoint_error():
                run.restore(self._found)
            self._found = None
        assert isinstance(run, ResumableRun)
        self._current = run
        yield self.on_step

    def _report(self, progress: Progress) -> None:
        self.on_progress(self._as_frames(progress))

    def _as_frames(self, progress: Progress) -> Progress:
        """The same progress, counted in frames."""
        frames, done = self.recipe.info.frames, len(self.finished)
        return replace(progress, stage=STAGE, step=done, total=frames)
