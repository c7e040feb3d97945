"""When things happen: sensors, schedules, jobs, decisions."""
