"""Real targets, databases, Meltano and Airflow; not part of the default run."""
