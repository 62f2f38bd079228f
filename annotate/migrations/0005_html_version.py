from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0004_preferences")]

    operations = [
        migrations.AddField(
            model_name=name,
            name="html_version",
            field=models.PositiveSmallIntegerField(
                default=0, editable=False, help_text="Of the renderer that made the HTML."
            ),
        )
        for name in ("completion", "prompt")
    ]
