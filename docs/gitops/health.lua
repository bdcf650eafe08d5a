-- Health of Trails, OrganizationTrails and EventSelectors for Argo CD.
local hs = { status = "Progressing", message = "Waiting for the manager" }
if obj.metadata.deletionTimestamp ~= nil then
  hs.message = "What was recorded is being delivered before it goes"
  return hs
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
local conditions = {}
for _, c in ipairs(obj.status.conditions or {}) do
  conditions[c.type] = c
end
local function is(kind, status)
  return conditions[kind] ~= nil and conditions[kind].status == status
end
local ready = conditions["Ready"]
if ready == nil then
  return hs
end
hs.message = ready.message
if is("Stalled", "True") then
  hs.status = "Degraded"
elseif is("Reconciling", "True") or ready.status == "Unknown" then
  hs.status = "Progressing"
elseif ready.status == "False" then
  hs.status = "Degraded"
elseif obj.spec.suspend then
  hs.status = "Suspended"
else
  hs.status = "Healthy"
end
return hs
