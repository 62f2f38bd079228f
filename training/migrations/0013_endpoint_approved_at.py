from django.db import migrations, models
from django.db.models import F


def approve_those_there(apps, schema_editor):
    """What was asked before goes on being asked."""
    apps.get_model("training", "Endpoint").objects.update(approved_at=F("created_at"))


class Migration(migrations.Migration):
    dependencies = [
        ("training", "0012_words"),
        ("annotate", "0012_prompt_is_sampled"),
    ]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="approved_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When a manager agreed to have it asked for answers.",
                null=True,
            ),
        ),
        migrations.RunPython(approve_those_there, migrations.RunPython.noop),
    ]
