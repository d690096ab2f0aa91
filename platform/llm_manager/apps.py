from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "llm_manager"
