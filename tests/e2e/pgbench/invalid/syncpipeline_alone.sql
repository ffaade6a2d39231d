-- options: -M extended
-- error: 3:1: \syncpipeline without \startpipeline
\syncpipeline
