import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def fill_projects(apps, schema_editor):
    """Judgements know their comparison's project."""
    Judgement = apps.get_model('annotate', 'Judgement')
    Comparison = apps.get_model('annotate', 'Comparison')
    own = Comparison.objects.filter(pk=models.OuterRef('comparison_id')).values('project_id')
    Judgement.objects.update(project_id=models.Subquery(own[:1]))
    if schema_editor.connection.vendor == 'postgresql':
        # The checks of the new references are due now: the table is altered next.
        schema_editor.execute('SET CONSTRAINTS ALL IMMEDIATE')


class Migration(migrations.Migration):

    dependencies = [
        ('annotate', '0001_initial'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='judgement',
            name='judgement_by_rater',
        ),
        migrations.AddField(
            model_name='judgement',
            name='demonstration',
            field=models.ForeignKey(blank=True, help_text='The edited text as an answer of its own.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='written_in', to='annotate.completion'),
        ),
        migrations.AddField(
            model_name='judgement',
            name='edited_from',
            field=models.CharField(blank=True, choices=[('a', 'A'), ('b', 'B')], max_length=1),
        ),
        migrations.AddField(
            model_name='judgement',
            name='flags',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='judgement',
            name='is_late',
            field=models.BooleanField(default=False, help_text='Decided after others had finished: kept, and never counted.'),
        ),
        migrations.AddField(
            model_name='judgement',
            name='project',
            field=models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='judgements', to='annotate.project'),
        ),
        migrations.RunPython(fill_projects, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='judgement',
            name='project',
            field=models.ForeignKey(db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='judgements', to='annotate.project'),
        ),
        migrations.AddField(
            model_name='judgement',
            name='reason_tags',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='judgement',
            name='replaces',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='replacements', to='annotate.judgement'),
        ),
        migrations.AddField(
            model_name='preferencepair',
            name='judgement',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='pairs', to='annotate.judgement'),
        ),
        migrations.AddField(
            model_name='preferencepair',
            name='kind',
            field=models.CharField(choices=[('vote', 'Votes'), ('edit', 'An edited answer')], default='vote', max_length=4),
        ),
        migrations.AddField(
            model_name='project',
            name='criteria_required',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='project',
            name='editing_on',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='project',
            name='flags_on',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='project',
            name='reason_min_length',
            field=models.PositiveSmallIntegerField(default=0, help_text='Characters that a typed reason needs at least.'),
        ),
        migrations.AddField(
            model_name='project',
            name='reason_mode',
            field=models.CharField(choices=[('off', 'Not asked'), ('optional', 'May be given'), ('required', 'Must be given')], default='off', max_length=10),
        ),
        migrations.AddField(
            model_name='project',
            name='reason_tags',
            field=models.JSONField(blank=True, default=list, help_text='Reasons ready to pick.'),
        ),
        migrations.AddField(
            model_name='project',
            name='strength_mode',
            field=models.CharField(choices=[('off', 'Not asked'), ('optional', 'May be given'), ('required', 'Must be given')], default='off', max_length=10),
        ),
        migrations.AddField(
            model_name='prompt',
            name='html',
            field=models.JSONField(default=list, editable=False, help_text="Each message's text, made safe once."),
        ),
        migrations.AlterField(
            model_name='judgement',
            name='criteria',
            field=models.JSONField(blank=True, default=dict, help_text='"a", "b" or "tie" for each criterion\'s key.'),
        ),
        migrations.AlterField(
            model_name='judgement',
            name='rater',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='judgements', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='judgement',
            name='retracted_at',
            field=models.DateTimeField(blank=True, help_text='Since when it does not count.', null=True),
        ),
        migrations.AlterField(
            model_name='judgement',
            name='strength',
            field=models.PositiveSmallIntegerField(blank=True, choices=[(1, 'Slightly better'), (2, 'Much better')], null=True),
        ),
        migrations.AlterField(
            model_name='policy',
            name='kind',
            field=models.CharField(choices=[('base', 'Base model'), ('adapter', 'Base model with an adapter'), ('endpoint', 'OpenAI-compatible endpoint'), ('import', 'Imported completions'), ('people', 'Answers that raters wrote')], max_length=10),
        ),
        migrations.AlterField(
            model_name='preferencepair',
            name='comparison',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='pairs', to='annotate.comparison'),
        ),
        migrations.AlterField(
            model_name='project',
            name='criteria',
            field=models.JSONField(blank=True, default=list, help_text='What is rated apart: a list of {"key", "name"}.'),
        ),
        migrations.AddIndex(
            model_name='judgement',
            index=models.Index(fields=['rater', 'project', 'retracted_at', 'decided_at', 'outcome'], name='judgement_by_rater'),
        ),
        migrations.AddIndex(
            model_name='judgement',
            index=models.Index(fields=['rater', 'project', '-id', 'swapped'], name='judgement_sides'),
        ),
        migrations.AddIndex(
            model_name='judgement',
            index=models.Index(condition=models.Q(('is_late', True)), fields=['rater', 'project', 'decided_at'], name='judgement_late'),
        ),
        migrations.AddConstraint(
            model_name='judgement',
            constraint=models.CheckConstraint(condition=models.Q(('is_late', False), models.Q(('decided_at__isnull', False), ('retracted_at__isnull', False)), _connector='OR'), name='late_is_decided_and_uncounted'),
        ),
        migrations.AddConstraint(
            model_name='preferencepair',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'vote')), fields=('comparison',), name='one_voted_pair_a_comparison'),
        ),
        migrations.AddConstraint(
            model_name='preferencepair',
            constraint=models.UniqueConstraint(fields=('judgement', 'rejected'), name='one_pair_an_edit_and_answer'),
        ),
        migrations.AddConstraint(
            model_name='preferencepair',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('judgement', None), ('kind', 'vote')), models.Q(('judgement__isnull', False), ('kind', 'edit')), _connector='OR'), name='edits_name_their_judgement'),
        ),
    ]
