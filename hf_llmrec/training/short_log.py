"""Short log lines with the most important numbers. Trackers and the training report receive all of them."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import PrinterCallback, ProgressCallback, Trainer

# In the order in which they are shown.
_SHOWN = {
    "loss": "loss {:.4g}",
    "eval_loss": "validation loss {:.4g}",
    "eval_ndcg@10": "NDCG@10 {:.4f}",
    "eval_hit_rate@10": "HR@10 {:.4f}",
    "train_loss": "mean loss {:.4g}",
    "learning_rate": "learning rate {:.2g}",
    "tokens_per_second": "{:,.0f} tokens/s",
    "epoch": "epoch {:.4g}",
}


def short_line(logs: Mapping[str, float]) -> str:
    """Format the most important numbers of a log, such as ``loss 2.1, learning rate 0.001, epoch 3``.

    Args:
        logs: values by name, as `transformers.Trainer` logs them.
    """
    return ", ".join(text.format(logs[name]) for name, text in _SHOWN.items() if name in logs)


class ShortProgressCallback(ProgressCallback):
    """transformers' progress bar, with `short_line` above it."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        line = short_line(logs or {})
        if line and self.training_bar is not None:
            self.training_bar.write(line)


def shorten_logs(trainer: Trainer) -> None:
    """Shorten the lines that a trainer prints of its logs; without a progress bar `TrainingClock` logs one for each.

    Args:
        trainer: its printing callbacks are replaced in place.
    """
    trainer.remove_callback(PrinterCallback)
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(ShortProgressCallback())
