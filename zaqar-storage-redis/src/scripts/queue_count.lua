-- keys: queue_names
return {0, call('ZCARD', queue_names)}
