"""The command line: `tmnode`, or `python -m node.cli`.

`main` is the table of commands, `lazy` what keeps their modules from being imported before they
are used, `output` and `failures` what a person or a script sees, `options` what many commands
share. One module for each command; `launch` calls the parts that live above the command line.
Nothing but click is imported until a command is named, so that `tmnode --help` is quick.
"""
