from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("annotate", "0002_verdicts"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="preferences",
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
