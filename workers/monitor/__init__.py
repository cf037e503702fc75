"""What an operator and their tools see: metrics, conditions, alarms, health."""
