from django.db import migrations, models


def version() -> models.PositiveSmallIntegerField:
    return models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Of the renderer that made the HTML."
    )


class Migration(migrations.Migration):
    dependencies = [("annotate", "0004_preferences")]

    operations = [
        migrations.AddField(model_name=name, name="html_version", field=version())
        for name in ("completion", "prompt")
    ]
