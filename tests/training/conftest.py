"""Trainers that tests of what they share run."""

from ..galrec_trainer import galrec as galrec  # a fixture
