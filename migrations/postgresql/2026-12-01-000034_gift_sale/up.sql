SET LOCAL lock_timeout = '3s';

-- A gift that is withdrawn from sale stays in the catalogue: records of gifts refer to it, and a retry of one that was
-- given before is answered as committed. Nodes of the version before do not know the column, and sell it.
ALTER TABLE gifts ADD COLUMN IF NOT EXISTS on_sale BOOLEAN NOT NULL DEFAULT TRUE;
