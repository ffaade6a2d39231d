-- options: -M extended
-- error: 4:1: \gset and \aset cannot be used in a pipeline
\startpipeline
SELECT 1 AS a \gset
\endpipeline
