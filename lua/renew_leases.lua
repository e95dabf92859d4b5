-- Renew the leases on facts that the caller is still fetching.
--
-- KEYS     the leases
-- ARGV     1 token of the fetch · 2 lease, ms

for _, lease in ipairs(KEYS) do
  local held = fields(lease, 'token', 'ends')
  if held[1] == ARGV[1] and number(held[2]) > now then hold(lease, ARGV[1], ARGV[2]) end
end
