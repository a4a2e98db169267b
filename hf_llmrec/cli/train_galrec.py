"""``train galrec``: train GAL-Rec on a causal LM, pretrained or from scratch."""

from __future__ import annotations

from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..methods.galrec.adapters import with_own_layers
from ..methods.galrec.trainer import GALRecTrainer
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from .data_checks import check_base
from .galrec_continuation import continue_galrec
from .galrec_model import galrec_from_backbone
from .galrec_options import GALRecArguments
from .language_model_run import LanguageModelRun
from .processes import run_command


class GALRecRun(LanguageModelRun[GALRecArguments, GALRecTrainingConfig]):
    """One run of ``train galrec``. The parameters are those of [`LanguageModelRun`]."""

    trainer_class = GALRecTrainer

    def recommender(self, dataset, split):
        arguments, training, model_config = self.arguments, self.training, self.model_config
        base = model_config.model_name_or_path
        training.start_from(pretrained=bool(base))
        saved = continue_galrec(arguments, model_config, training, dataset, split)
        if saved is not None:
            return saved
        check_base(base, arguments, dataset, split, revision=model_config.model_revision)
        return galrec_from_backbone(arguments, model_config, training, dataset, split)

    def complete_adapters(self, adapters, recommender):
        return with_own_layers(adapters, recommender.model)


def run(arguments: GALRecArguments, training: GALRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    return GALRecRun(arguments, training, model_config).run()


def main(argv: list[str] | None = None) -> int:
    return run_command((GALRecArguments, GALRecTrainingConfig, ModelConfig), run, argv)
