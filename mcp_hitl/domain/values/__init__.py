"""Values that everything else uses: text, time, money, canonical JSON, errors. They know nothing of approvals."""
