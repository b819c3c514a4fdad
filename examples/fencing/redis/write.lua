-- Writes a value unless a higher fencing token has written. KEYS: a hash. ARGV: token, value.
local highest = redis.call('HGET', KEYS[1], 'fence') or '0'
if tonumber(ARGV[1]) < tonumber(highest) then
    return redis.error_reply('STALE fencing token ' .. ARGV[1] .. ': ' .. highest .. ' has written')
end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'value', ARGV[2])
return redis.status_reply('OK')
