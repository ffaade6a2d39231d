-- options: -M extended
-- error: 3:1: \endpipeline without \startpipeline
\endpipeline
