"""What happens between steps: checkpoints by the clock, the dev set at the end of an epoch, a clean stop."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from gmner.runtime.progress import Progress
from gmner.training.checkpoints import complete_checkpoint
from gmner.training.distributed import any_of, barrier, is_main
from gmner.training.sampler import EpochSampler

log = logging.getLogger(__name__)


class StopRequest:
    """Set by Ctrl-C or by the scheduler's SIGTERM: stop after this step and keep a checkpoint."""

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the first signal here; a second one interrupts at once."""
        kept = {}
        with contextlib.suppress(ValueError):  # signals belong to the main thread alone
            for number in (signal.SIGINT, signal.SIGTERM):
                kept[number] = signal.signal(number, self._ask)
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        log.warning("stopping after this step and keeping a checkpoint; once more to stop at once")


class RunCallback(TrainerCallback):
    """Drives the sampler's epoch, asks for checkpoints and judges each epoch when it ends.

    A checkpoint is asked for at the end of every epoch, every `checkpoint_seconds` in between, and on a stop
    request; none is taken between an epoch's last step and its judgement, so a resumed run judges every epoch.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        steps_per_epoch: int,
        stop: StopRequest,
        judge: Callable[[int], None] | None,
        checkpoint_seconds: float,
    ) -> None:
        self.sampler, self.steps_per_epoch = sampler, steps_per_epoch
        self.stop, self.judge, self.checkpoint_seconds = stop, judge, checkpoint_seconds
        self._last_save = time.monotonic()
        self._progress: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clocks."""
        self._last_save = time.monotonic()
        self._progress = Progress("train", state.max_steps, "steps", state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Choose the rows of the epoch that begins."""
        self.sampler.set_epoch(state.global_step // self.steps_per_epoch)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint where one is due."""
        due, stop = any_of([time.monotonic() - self._last_save >= self.checkpoint_seconds, self.stop.asked])
        self.stop.asked = stop
        if state.global_step % self.steps_per_epoch:
            control.should_save = control.should_save or due or stop
        control.should_training_stop = control.should_training_stop or stop

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Log how long it took."""
        if self._progress is not None:
            self._progress.finish()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Count the step in the line of progress."""
        if self._progress is not None and logs and "loss" in logs:
            self._progress.advance(1, f"loss {logs['loss']:.4f}, epoch {state.epoch:.2f}")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge the epoch on the dev set and ask for a checkpoint."""
        if state.global_step % self.steps_per_epoch:
            return  # a stop in the middle of an epoch ends here too
        if self.judge is not None:
            self.judge(state.global_step // self.steps_per_epoch - 1)
        control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark the checkpoint as complete: every process has written its last file."""
        barrier()
        self._last_save = time.monotonic()
        if is_main():
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            complete_checkpoint(folder, state.global_step)
