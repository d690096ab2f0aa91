"""What the scripted server has. Needs no package of the project."""

MODEL = "scripted"
#: The variable with the path of the script.
SCRIPT = "SCRIPT"
