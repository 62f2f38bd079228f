from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = "Training"

    def ready(self) -> None:
        from annotate.queue.empty_queue import explainers
        from training.sampling.empty_queue import explain_empty

        if explain_empty not in explainers:
            explainers.append(explain_empty)
