"""Runs a script under FSDP2 on the CPU: ``accelerate launch --config_file F.yaml fsdp2_on_cpu.py SCRIPT ...``.

Accelerate turns FSDP on for GPUs only, though PyTorch's runs over gloo, too. Here the processes are said to be of the
kind that GPUs have, with the CPU as device; everything else is accelerate's and PyTorch's own.
"""

import runpy
import sys

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType


def _prepare_backend(self, cpu=False, sagemaker_dp=False, backend=None):
    return "gloo", DistributedType.MULTI_GPU


def _set_device(self):
    self.device = torch.device("cpu")


PartialState._prepare_backend = _prepare_backend
PartialState.set_device = _set_device
torch.distributed.init_process_group("gloo")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
