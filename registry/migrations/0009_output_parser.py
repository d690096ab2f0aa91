from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0008_draft_auto"),
    ]

    operations = [
        migrations.RenameField(
            model_name="model",
            old_name="dialect_override",
            new_name="output_parser_override",
        ),
        migrations.AlterField(
            model_name="model",
            name="output_parser_override",
            field=models.CharField(
                blank=True,
                help_text="How the model's reasoning and tool calls are read. "
                "Empty: detected from its chat template.",
                max_length=32,
                verbose_name="output parser",
            ),
        ),
    ]
