-- Some order that waits, to try with it whether the other side is there again. ARGV: the step that needs it ('' = any)
-- Returns {order id, step}, or {} if none waits. It may be tried at once.
for _, id in ipairs(redis.call('ZRANDMEMBER', DUE, 20)) do
  local key = order_key(id)
  local rec = read(key, 'v', 'state', 'step', 'claim', 'until')
  local claimed = rec.claim and tonumber(rec['until']) > now
  local fits = rec.step == ARGV[1] or (ARGV[1] == '' and rec.step ~= 'ack')
  if (rec.state == 'open' or rec.state == 'parked') and not newer(rec.v) and not claimed and fits then
    redis.call('HDEL', key, 'after')
    return {id, rec.step}
  end
end
return {}
