-- A request that cannot be used is recorded together with its end, so that nobody ever carries it.
-- ARGV: command id, kind, order id, payload (JSON), outcome (JSON), words, tombstone ttl
-- Returns 1, or 0 when the id belongs to a request that was accepted.
local id, kind, order, payload, outcome, words = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local ttl = tonumber(ARGV[7])
local key = command_key(id)
local rec = read(key, 'state', 'void', 'order')
if rec.state and not rec.void then return 0 end
if rec.void then redis.call('ZREM', commands_key(rec.order), id) end
redis.call('HSET', key, 'v', VERSION, 'kind', kind, 'order', order, 'payload', payload, 'void', '1',
  'born', seconds(now), 'outcome', outcome, 'ended', instant_of_end())
note(key, 'refused', words)
move_state(key, rec.state, 'refused', CCOUNTS)
redis.call('ZADD', commands_key(order), redis.call('INCR', P .. 'cplace'), id)
redis.call('ZADD', CTELL, seconds(now), id)
redis.call('EXPIRE', key, ttl)
if redis.call('EXISTS', queue_key(order)) == 0 then redis.call('EXPIRE', commands_key(order), ttl) end
return 1
