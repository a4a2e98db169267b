"""Runs a script with PEFT's trainable token rows under ZeRO-3 on the CPU: ``... token_rows_on_cpu.py SCRIPT ...``.

PEFT gathers the rows on one process and sends them from the current CUDA device ("only CUDA is implemented"). Here each
process gathers them for itself; everything else is PEFT's and DeepSpeed's own.
"""

import runpy
import sys

from peft.tuners.trainable_tokens.layer import TrainableTokensLayer
from peft.utils.integrations import gather_params_ctx


def _collect_token_weights(self, weight, rows, embed_dim):
    with gather_params_ctx([weight], modifier_rank=None):
        return weight[rows].clone()


TrainableTokensLayer._collect_token_weights = _collect_token_weights
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
