"""What the workers learn and how: data, networks, objectives, one worker, evaluation, records."""
