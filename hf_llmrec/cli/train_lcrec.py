"""``train lcrec``: alignment-tune a causal LM, pretrained or from scratch, on item indices."""

from __future__ import annotations

from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..methods.lcrec.adapters import with_index_rows
from ..methods.lcrec.recommender import LCRecRecommender
from ..methods.lcrec.trainer import LCRecTrainer
from ..methods.lcrec.trainer_config import LCRecTrainingConfig
from .data_checks import check_base
from .held_out_texts import check_base_texts
from .language_model_run import LanguageModelRun
from .lcrec_options import LCRecArguments
from .processes import run_command


class LCRecRun(LanguageModelRun[LCRecArguments, LCRecTrainingConfig]):
    """One run of ``train lcrec``. The parameters are those of [`LanguageModelRun`]."""

    trainer_class = LCRecTrainer

    def recommender(self, dataset, split):
        arguments, training, model_config = self.arguments, self.training, self.model_config
        base, revision = model_config.model_name_or_path, model_config.model_revision
        check_base(base, arguments, dataset, split, revision=revision)
        check_base_texts(base, training.held_out_items(), arguments.other_data, revision=revision)
        return LCRecRecommender.from_backbone(
            arguments.source(model_config),
            index=arguments.index,
            dataset=dataset,
            split=split,
            prompt=arguments.prompt(training),
            num_beams=arguments.num_beams,
            normalize=arguments.normalize,
            index_init=arguments.index_init,
            replace_index=arguments.replace_index,
            other_data=arguments.other_data,
            seed=training.seed,
            **arguments.loading(model_config, training),
        )

    def complete_adapters(self, adapters, recommender):
        return with_index_rows(adapters, recommender.model, recommender.tokenizer, self.arguments.train_index_rows)


def run(arguments: LCRecArguments, training: LCRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    return LCRecRun(arguments, training, model_config).run()


def main(argv: list[str] | None = None) -> int:
    return run_command((LCRecArguments, LCRecTrainingConfig, ModelConfig), run, argv)
