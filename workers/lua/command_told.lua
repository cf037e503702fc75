-- The ERP knows how a command ended. ARGV: command id, which end (seconds since 1970, or '' if it is not remembered)
local id, ended = ARGV[1], tonumber(ARGV[2])
if tonumber(redis.call('HGET', command_key(id), 'ended') or nil) == ended then redis.call('ZREM', CTELL, id) end
return 1
