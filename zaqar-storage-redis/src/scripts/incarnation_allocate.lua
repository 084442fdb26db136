-- keys: incarnations
return {0, call('INCR', incarnations)}
