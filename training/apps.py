from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = "Training"

    def ready(self) -> None:
        from annotate import serving
        from training.explaining import explain_empty

        if explain_empty not in serving.explainers:
            serving.explainers.append(explain_empty)
