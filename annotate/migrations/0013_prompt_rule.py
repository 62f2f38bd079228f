from django.db import migrations, models


class Migration(migrations.Migration):
    """Projects that are there keep the first rule; new ones begin with the second."""

    dependencies = [
        ("annotate", "0012_prompt_is_sampled"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="prompt_rule",
            field=models.PositiveSmallIntegerField(
                default=1,
                editable=False,
                help_text="By which prompts are the same and held out: annotate.content.prompts.",
            ),
        ),
        migrations.AlterField(
            model_name="project",
            name="prompt_rule",
            field=models.PositiveSmallIntegerField(
                default=2,
                editable=False,
                help_text="By which prompts are the same and held out: annotate.content.prompts.",
            ),
        ),
    ]
