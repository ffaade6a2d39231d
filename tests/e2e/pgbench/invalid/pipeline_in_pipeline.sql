-- options: -M extended
-- error: 3:1: \startpipeline in a pipeline
\startpipeline
\startpipeline
