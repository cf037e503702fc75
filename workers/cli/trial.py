"""Commands to try it with: the sandbox and the demo."""
import click

@click.command()
def demo() -> None: ...
@click.command()
def sandbox() -> None: ...
