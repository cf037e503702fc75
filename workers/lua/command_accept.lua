-- What an ERP asks for is recorded; only then is it told that it was accepted.
-- ARGV: command id, kind, order id, payload (JSON), fingerprint, patience
-- Returns {'new', 'open'}; {'same', state} for a repeat of the same; {'other', state} when the id is another's.
local id, kind, order, payload, fingerprint = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local patience = tonumber(ARGV[6])
local key = command_key(id)
local rec = read(key, 'state', 'fingerprint')
if rec.state then return {rec.fingerprint == fingerprint and 'same' or 'other', rec.state} end
local place = redis.call('INCR', P .. 'cplace')
redis.call('HSET', key, 'v', VERSION, 'kind', kind, 'order', order, 'payload', payload, 'fingerprint', fingerprint,
  'born', seconds(now), 'place', place)
move_state(key, nil, 'open', CCOUNTS)
redis.call('ZADD', queue_key(order), place, id)
redis.call('ZADD', commands_key(order), place, id)
redis.call('PERSIST', commands_key(order))
redis.call('ZADD', CDUE, seconds(now + patience), id)
note(key, 'accepted', kind)
return {'new', 'open'}
