-- Go on with what is paused. ARGV: scope, only what we paused ourselves (1/0). Returns 1 if it was paused.
local key = P .. 'paused:' .. ARGV[1]
local said = redis.call('GET', key)
if not said or (ARGV[2] == '1' and not string.find(said, '"by": ""', 1, true)) then return 0 end
return redis.call('DEL', key)
