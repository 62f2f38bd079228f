from django.db import migrations, models


class Migration(migrations.Migration):
    """Reign is called ChampionTerm; its table and columns stay."""

    dependencies = [
        ("annotate", "0009_reward"),
        ("training", "0010_reward"),
    ]

    operations = [
        migrations.AlterModelTable(name="reign", table="training_reign"),
        migrations.RenameModel(old_name="Reign", new_name="ChampionTerm"),
        migrations.AlterField(
            model_name="championterm",
            name="project",
            field=models.ForeignKey(
                on_delete=models.deletion.CASCADE,
                related_name="champion_terms",
                to="annotate.project",
            ),
        ),
        migrations.AlterField(
            model_name="championterm",
            name="policy",
            field=models.ForeignKey(
                on_delete=models.deletion.PROTECT,
                related_name="champion_terms",
                to="annotate.policy",
            ),
        ),
    ]
