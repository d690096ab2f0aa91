from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('registry', '0003_drafts'),
    ]

    operations = [
        migrations.AddField(
            model_name='model',
            name='supports_infill',
            field=models.BooleanField(default=False, help_text='Its vocabulary has tokens to fill in a middle.'),
        ),
        migrations.AddField(
            model_name='model',
            name='template_override',
            field=models.TextField(blank=True, help_text="Jinja. Empty: the file's own.", verbose_name='chat template'),
        ),
        migrations.AddField(
            model_name='model',
            name='dialect_override',
            field=models.CharField(blank=True, help_text='How the model writes reasoning and tool calls. Empty: told by its template.', max_length=32, verbose_name='format of calls'),
        ),
    ]
