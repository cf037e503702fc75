-- Go on with what is paused. ARGV: scope, only what we paused ourselves (1/0). Returns what was said of the pause, or ''
local key = P .. 'paused:' .. ARGV[1]
local said = redis.call('GET', key)
if not said or (ARGV[2] == '1' and not string.find(said, '"by": ""', 1, true)) then return '' end
redis.call('DEL', key, P .. 'breaker:' .. ARGV[1], P .. 'trials:' .. ARGV[1])
return said
