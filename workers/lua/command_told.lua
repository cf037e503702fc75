-- The ERP knows how commands ended.
-- ARGV: of each its id and which end (seconds since 1970, or '' if it is not remembered)
for i = 1, #ARGV, 2 do
  local ended = redis.call('HGET', command_key(ARGV[i]), 'ended')
  if tonumber(ended or nil) == tonumber(ARGV[i + 1]) then redis.call('ZREM', CTELL, ARGV[i]) end
end
return 1
