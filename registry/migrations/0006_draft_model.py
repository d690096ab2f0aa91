import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0005_adapters'),
    ]

    operations = [
        migrations.AddField(
            model_name='model',
            name='draft_model',
            field=models.ForeignKey(blank=True, help_text='A smaller model of the same vocabulary, loaded beside this one.', limit_choices_to={'kind__in': ('chat', 'completion')}, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='drafts_for', to='registry.model'),
        ),
        migrations.AlterField(
            model_name='model',
            name='draft',
            field=models.CharField(blank=True, choices=[('off', 'off'), ('lookup', 'lookup'), ('model', 'model')], help_text='Tokens guessed and then verified, where it pays: `lookup` guesses that an answer repeats its prompt, `model` has the draft model guess.', max_length=8, verbose_name='drafts'),
        ),
    ]
