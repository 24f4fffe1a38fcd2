"""What Redis runs for us, in Lua: each script on one scope, a hash, so that a cluster keeps it in one place.

Fields of a scope's hash: ``v:KEY`` the text, ``r:KEY`` its version, ``x:KEY`` the microsecond when it is over, or none,
``#`` the last version, ``@`` the parts as JSON, ``~`` the milliseconds that it is kept after its last use.
Texts pass through untouched, and nothing is decoded. Lua's numbers are exact up to 2^53: times are, values need not be.
A change is published by its script, so that nothing comes between.
"""

from __future__ import annotations

NOW = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local hash = KEYS[1]
local function over(key)
  local x = redis.call('HGET', hash, 'x:' .. key)
  return x and tonumber(x) <= now
end
local function version(key)
  if over(key) then return '0' end
  return redis.call('HGET', hash, 'r:' .. key) or '0'
end
local function keys()
  local found = {}
  for _, field in ipairs(redis.call('HKEYS', hash)) do
    local key = string.sub(field, 3)
    if string.sub(field, 1, 2) == 'v:' and not over(key) then found[#found + 1] = key end
  end
  return found
end
local function size(key)
  return redis.call('HSTRLEN', hash, 'v:' .. key)
end
local function held()
  local all, bytes = keys(), 0
  for _, key in ipairs(all) do bytes = bytes + size(key) end
  return #all, bytes
end
local function exceeds(most, limit, count, bytes, new_count, new_bytes)
  if (new_count > count and new_count > tonumber(most)) or (new_bytes > bytes and new_bytes > tonumber(limit)) then
    return {'full', tostring(new_count > count and new_count or 0), tostring(new_bytes > bytes and new_bytes or 0)}
  end
end
local function full(most, limit, puts, drops)
  if most == '' or next(puts) == nil then return nil end
  local count, bytes = held()
  local new_count, new_bytes = count, bytes
  for _, some in ipairs({puts, drops}) do
    for key, length in pairs(some) do
      if version(key) ~= '0' then new_count, new_bytes = new_count - 1, new_bytes - size(key) end
      if length >= 0 then new_count, new_bytes = new_count + 1, new_bytes + length end
    end
  end
  return exceeds(most, limit, count, bytes, new_count, new_bytes)
end
local function drop(key)
  redis.call('HDEL', hash, 'v:' .. key, 'r:' .. key, 'x:' .. key)
end
local function use()
  local life = redis.call('HGET', hash, '~')
  if life then redis.call('PEXPIRE', hash, life) else redis.call('PERSIST', hash) end
end
local function revise()
  local parts, life, notice = ARGV[1], ARGV[2], ARGV[3]
  local last = tonumber(redis.call('HGET', hash, '#') or '0')
  local revision = string.format('%.0f', math.max(last + 1, now))
  redis.call('HSET', hash, '#', revision, '@', parts)
  if life == '' then redis.call('HDEL', hash, '~') else redis.call('HSET', hash, '~', life) end
  use()
  redis.call('PUBLISH', 'app-meta:changed', notice)
  return revision
end
"""

# Every key, or those in ARGV after the first: → KEY, text, version and, if it ends, ':' and when, …
READ = (
    NOW
    + """
local found = {}
local function add(key, text, version, over)
  if text and not (over and tonumber(over) <= now) then
    found[#found + 1] = key
    found[#found + 1] = text
    found[#found + 1] = over and version .. ':' .. over or version
  end
end
if ARGV[1] == 'all' then
  local flat, fields = redis.call('HGETALL', hash), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  for i = 1, #flat, 2 do
    local key = string.sub(flat[i], 3)
    if string.sub(flat[i], 1, 2) == 'v:' then add(key, flat[i + 1], fields['r:' .. key], fields['x:' .. key]) end
  end
else
  for i = 2, #ARGV do
    local row = redis.call('HMGET', hash, 'v:' .. ARGV[i], 'r:' .. ARGV[i], 'x:' .. ARGV[i])
    add(ARGV[i], row[1], row[2], row[3])
  end
end
return found
"""
)

# ARGV: parts, life, notice, most keys or '', most bytes, ttl or '', whole or '', how many expects, KEY version …,
# how many puts, KEY text …, drops … → {'conflict', KEY}, {'full', keys, bytes} or {'done', version}
APPLY = (
    NOW
    + """
local at, expected = 9, {}
for _ = 1, tonumber(ARGV[8]) do
  if version(ARGV[at]) ~= ARGV[at + 1] then return {'conflict', ARGV[at]} end
  expected[ARGV[at]] = true
  at = at + 2
end
if ARGV[7] ~= '' then
  for _, key in ipairs(keys()) do
    if not expected[key] then return {'conflict', key} end
  end
end
local puts = tonumber(ARGV[at])
at = at + 1
if puts == 0 and at > #ARGV then return {'done', '0'} end
local put, dropped = {}, {}
for i = 0, puts - 1 do put[ARGV[at + 2 * i]] = #ARGV[at + 2 * i + 1] end
for i = at + 2 * puts, #ARGV do if not put[ARGV[i]] then dropped[ARGV[i]] = -1 end end
local problem = full(ARGV[4], ARGV[5], put, dropped)
if problem then return problem end
local revision = revise()
for _ = 1, puts do
  local key = ARGV[at]
  redis.call('HSET', hash, 'v:' .. key, ARGV[at + 1], 'r:' .. key, revision)
  if ARGV[6] == '' then redis.call('HDEL', hash, 'x:' .. key)
  else redis.call('HSET', hash, 'x:' .. key, string.format('%.0f', now + ARGV[6])) end
  at = at + 2
end
for i = at, #ARGV do drop(ARGV[i]) end
return {'done', revision}
"""
)

# ARGV: parts, life, notice, most keys or '', most bytes, KEY, amount
# → {'done', text, version}, {'full', keys, bytes}, or {'other'} where Redis cannot add exactly
ADD = (
    NOW
    + """
local key = ARGV[6]
if over(key) then drop(key) end
local text = redis.call('HGET', hash, 'v:' .. key)
if text and not string.find(text, '^-?%d+$') then return {'other'} end
local count, bytes = 0, 0
if ARGV[4] ~= '' then count, bytes = held() end
local sum = redis.pcall('HINCRBY', hash, 'v:' .. key, ARGV[7])
if type(sum) == 'table' then return {'other'} end
if ARGV[4] ~= '' then
  local more = text and 0 or 1
  local problem = exceeds(ARGV[4], ARGV[5], count, bytes, count + more, bytes - (text and #text or 0) + size(key))
  if problem then
    if text then redis.call('HSET', hash, 'v:' .. key, text) else redis.call('HDEL', hash, 'v:' .. key) end
    return problem
  end
end
local revision = revise()
redis.call('HSET', hash, 'r:' .. key, revision)
return {'done', redis.call('HGET', hash, 'v:' .. key), revision}
"""
)

# A text in place of a version; the time that is left stays.
# ARGV: parts, life, notice, most keys or '', most bytes, KEY, version, text
# → {'conflict'}, {'full', keys, bytes} or {'done', version}
REPLACE = (
    NOW
    + """
local key = ARGV[6]
if version(key) ~= ARGV[7] then return {'conflict'} end
local problem = full(ARGV[4], ARGV[5], {[key] = #ARGV[8]}, {})
if problem then return problem end
if over(key) then drop(key) end
local revision = revise()
redis.call('HSET', hash, 'v:' .. key, ARGV[8], 'r:' .. key, revision)
return {'done', revision}
"""
)

# ARGV: notice → how many entries there were
ERASE = (
    NOW
    + """
local count = 0
for _, field in ipairs(redis.call('HKEYS', hash)) do
  if string.sub(field, 1, 2) == 'v:' and not over(string.sub(field, 3)) then count = count + 1 end
end
redis.call('DEL', hash)
redis.call('PUBLISH', 'app-meta:changed', ARGV[1])
return count
"""
)

# Removes entries whose time is over → how many
SWEEP = (
    NOW
    + """
local count = 0
for _, field in ipairs(redis.call('HKEYS', hash)) do
  if string.sub(field, 1, 2) == 'x:' and over(string.sub(field, 3)) then
    drop(string.sub(field, 3))
    count = count + 1
  end
end
return count
"""
)

# The scope is in use.
USE = NOW + "if redis.call('EXISTS', hash) == 1 then use() end return 1"

# A person's scopes, a set. ARGV: scope, milliseconds that it is kept or ''. The set outlives each of them.
JOIN = """
local new = redis.call('EXISTS', KEYS[1]) == 0
local left = redis.call('PTTL', KEYS[1])
redis.call('SADD', KEYS[1], ARGV[1])
if ARGV[2] == '' then redis.call('PERSIST', KEYS[1])
elseif new or (left >= 0 and left < tonumber(ARGV[2])) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
"""
