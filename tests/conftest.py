"""What every test may use. Each tier has its own conftest for its own machinery."""
