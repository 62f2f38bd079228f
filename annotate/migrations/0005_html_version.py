from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotate", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="completion",
            name="html_version",
            field=models.PositiveSmallIntegerField(
                default=0, editable=False, help_text="Of the renderer that made the HTML."
            ),
        ),
    ]
