"""``train galrec``: train GAL-Rec on a causal LM, pretrained or from scratch."""

from __future__ import annotations

from trl import ModelConfig  # pyright: ignore[reportPrivateImportUsage]  # trl exports it lazily

from ..methods.galrec.adapters import with_own_layers
from ..methods.galrec.configuration_galrec import GALRecConfig
from ..methods.galrec.continuing import SavedGALRec
from ..methods.galrec.recommender import GALRecRecommender
from ..methods.galrec.trainer import GALRecTrainer
from ..methods.galrec.trainer_config import GALRecTrainingConfig
from .data_checks import check_base
from .galrec_options import EXTERNAL, GALRecArguments
from .galrec_vectors import item_vectors
from .json_options import naming
from .language_model_run import LanguageModelRun
from .processes import run_command


class GALRecRun(LanguageModelRun[GALRecArguments, GALRecTrainingConfig]):
    """One run of ``train galrec``. The parameters are those of [`LanguageModelRun`]."""

    trainer_class = GALRecTrainer

    def recommender(self, dataset, split):
        arguments, training, model_config = self.arguments, self.training, self.model_config
        base, revision = model_config.model_name_or_path, model_config.model_revision
        training.start_from(pretrained=bool(base))
        backbone = arguments.source(model_config)
        saved = SavedGALRec.find(backbone, trust_remote_code=training.trust_remote_code, revision=revision)
        if saved is not None:
            saved.check_catalog(dataset)
            saved.check_kinds(EXTERNAL[arguments.external], "external")
        check_base(base, arguments, dataset, split, revision=revision)
        with naming("model_options"):  # checks the values before anything is loaded
            GALRecConfig(**arguments.model_options)
        vectors = item_vectors(arguments, dataset, split, training.output_dir, is_saved=saved is not None)
        return GALRecRecommender.from_backbone(
            backbone,
            dataset=dataset,
            item_vectors=vectors,
            split=split,
            prompt=arguments.prompt(training),
            config=arguments.model_options,
            include_graph=arguments.include_graph,
            pretrained=training.pretrained,
            **arguments.loading(model_config, training),
        )

    def complete_adapters(self, adapters, recommender):
        return with_own_layers(adapters, recommender.model)


def run(arguments: GALRecArguments, training: GALRecTrainingConfig, model_config: ModelConfig) -> dict[str, float]:
    """Train and save; returns the validation metrics of the saved model, or with ``--dry_run`` the plan's figures."""
    return GALRecRun(arguments, training, model_config).run()


def main(argv: list[str] | None = None) -> int:
    return run_command((GALRecArguments, GALRecTrainingConfig, ModelConfig), run, argv)
